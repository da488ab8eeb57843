//! `check`: what it says of faulty configurations, of surprising ones, and of files that it cannot read.
//!
//! `data/faulty.txt` and `data/surprising.txt` have small files, each below a line `=== NAME`, and
//! `data/*.said.txt` has what is printed of each. With `CHECK_WRITE=1` the test writes that anew.

use std::{env, fs, process::Command};

use scraper::{CheckReport, CheckedFile, check};
use wire::config::{ConfigDocument, parse};

fn path(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files of a table.
fn files(table: &str) -> Vec<CheckedFile> {
    let text = fs::read_to_string(path(&format!("{table}.txt"))).unwrap();
    let parts = text.split("=== ").skip(1).map(|part| part.split_once('\n').unwrap());
    parts.map(|(name, text)| CheckedFile { name: name.to_owned(), text: text.to_owned() }).collect()
}

/// Holds what is said of each file against what was said when a human last looked.
fn compare(table: &str, reports: &[CheckReport]) {
    let said: String = reports.iter().map(|report| report.text.clone() + "\n").collect();
    let expected = path(&format!("{table}.said.txt"));
    if env::var_os("CHECK_WRITE").is_some() {
        fs::write(&expected, &said).unwrap();
    }
    let expected = fs::read_to_string(expected).unwrap();
    for (said, expected) in said.split("\n\n").zip(expected.split("\n\n")) {
        assert_eq!(said, expected);
    }
    assert_eq!(said, expected);
}

#[test]
fn sixty_faulty_files_are_refused_with_the_line() {
    let files = files("faulty");
    assert!(files.len() >= 60, "{}", files.len());
    let reports: Vec<_> = files.iter().map(|file| check(std::slice::from_ref(file))).collect();
    for (file, report) in files.iter().zip(&reports) {
        assert!(report.faults > 0, "{}", file.name);
        for line in
            report.text.lines().filter(|line| !line.starts_with(&format!("{}: ", file.name)))
        {
            let rest = line.strip_prefix(&format!("{}:", file.name)).expect(line);
            let numbers: Vec<_> = rest.split(':').take(2).map(str::parse::<u64>).collect();
            assert!(matches!(numbers[..], [Ok(1..), Ok(1..)]), "{line}");
        }
    }
    compare("faulty", &reports);
}

/// What the check refuses of a plugin's configuration, the plugin refuses too, in the same words.
#[test]
fn the_plugin_refuses_the_same() {
    let mut compared = 0;
    for CheckedFile { name, text } in files("faulty") {
        // The plugin gets what is in manifests and values as JSON, and the scraper reads its own file.
        let Ok(document) = ConfigDocument::read(&text) else { continue };
        let is_other =
            ["WasmPlugin", "EnvoyFilter", "ConfigMap", "LLMInference", "Secret", "models:"]
                .iter()
                .chain(&["endpoints:"])
                .any(|word| text.contains(word));
        if is_other {
            continue;
        }
        let is_json = text.starts_with('{');
        let json = if is_json { text.clone() } else { document.value().to_string() };
        let refused = parse(json.as_bytes()).err();
        // JSON that was made of YAML has no key twice any more.
        if !is_json
            && text.matches("\nplugins:").count() + usize::from(text.starts_with("plugins:")) > 1
        {
            continue;
        }
        let refused = refused.unwrap_or_else(|| panic!("{name} is taken by the plugin"));
        let ours = document.parse().read.unwrap_err();
        assert_eq!(refused, ours, "{name}");
        compared += 1;
    }
    assert!(compared >= 50, "{compared}");
}

#[test]
fn what_may_surprise_is_a_warning() {
    let files = files("surprising");
    let reports: Vec<_> = files.iter().map(|file| check(std::slice::from_ref(file))).collect();
    for (file, report) in files.iter().zip(&reports) {
        assert_eq!(report.faults, 0, "{}", report.text);
        let is_told = report.text.contains(": warning: ") || report.text.contains(": note: ");
        assert!(is_told, "{}: {}", file.name, report.text);
    }
    compare("surprising", &reports);
}

/// Whether metrics are stale depends on the scraper, whose settings are given too.
#[test]
fn warnings_go_by_the_settings_of_the_scraper() {
    let file =
        |name: &str, text: &str| CheckedFile { name: name.to_owned(), text: text.to_owned() };
    let picker = "plugins:\n- type: utilization-detector\n  parameters: {stalenessPolicy: saturated}\n\
                  saturationDetector: {pluginRef: utilization-detector}\n";
    let settings = |interval: &str| {
        let pools = "pools: [{endpoints: ['a:1']}]";
        file("scraper.yaml", &format!("interval: {interval}\nidleInterval: {interval}\n{pools}\n"))
    };
    let warned = |interval| {
        check(&[file("picker.yaml", picker), settings(interval)]).text.contains(": warning: ")
    };
    assert_eq!(["50ms", "99ms", "100ms", "1s"].map(warned), [false, false, true, true]);
}

/// JSON and YAML say the same, and their lines and columns are those of the text.
#[test]
fn json_and_yaml_have_places() {
    let texts = [
        "{\"plugins\": [\n\t{\"type\": \"queu-scorer\"}\n]}\n",
        "\u{feff}plugins:\r\n- type: queu-scorer\r\n",
        "# a comment\nplugins: &all\n  - {type: queu-scorer}\n",
        "{plugins: [{type: queu-scorer}]}",
        "{\"plugins\": [{\"name\": \"\\ud83d\\ude00 \\/\", \"type\": \"queu-scorer\"}]}",
    ];
    let said = texts.map(|text| {
        let report = check(&[CheckedFile { name: "f".to_owned(), text: text.to_owned() }]);
        report.text.split(" invalid").next().unwrap().to_owned()
    });
    assert_eq!(said, ["f:2:11:", "f:2:9:", "f:3:12:", "f:1:19:", "f:1:50:"]);
}

/// Returns the exit code and what is printed.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_llm-scraper")).args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + str::from_utf8(&output.stderr).unwrap();
    (output.status.code(), text)
}

#[test]
fn the_exit_code_tells_faults_from_what_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = write("good.yaml", "plugins: [{type: queue-scorer}]\n");
    let faulty = write("faulty.yaml", "plugins: [{type: queu-scorer}]\n");
    let binary = folder.path().join("binary");
    fs::write(&binary, b"\xff\xfe\x00").unwrap();
    assert_eq!(
        run(&["check", &good]),
        (Some(0), format!("{good}: good: the plugin's configuration\n"))
    );
    let (code, said) = run(&["check", &good, &faulty]);
    assert_eq!(code, Some(1));
    assert!(said.contains("faulty.yaml:1:18: invalid plugins[0].type \"queu-scorer\""), "{said}");
    assert_eq!(run(&["check", "/nowhere.yaml"]).0, Some(2));
    assert_eq!(run(&["check", binary.to_str().unwrap()]).0, Some(2));
    assert_eq!(run(&["check", "--unknown"]).0, Some(2));
}
