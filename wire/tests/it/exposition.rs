//! Metrics pages in all that the text formats allow: exemplars, timestamps, escapes, values that
//! are no numbers.

use std::fmt::Write;

use arbtest::arbitrary::{Result, Unstructured};
use wire::metrics::{PrefixUse, scan};

/// Label values that hold what ends a label, a line's labels or a value elsewhere.
const VALUES: [&str; 9] =
    ["", "0", "a}", "a, b", r#"q\"uote"#, r"back\\", r"line\nbreak", "# {x=\"", "é=1} 9 # {"];

/// Families with how many lines of each are written, at most.
const FAMILIES: [&str; 5] = [
    "vllm:num_requests_waiting",
    "vllm:num_requests_running",
    "vllm:kv_cache_usage_perc",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
];

/// Labels in braces, or none at all.
fn labels(u: &mut Unstructured<'_>) -> Result<String> {
    let mut text = String::new();
    for number in 0..u.int_in_range(0..=3)? {
        let comma = if number > 0 { *u.choose(&[",", ", "])? } else { "" };
        let value = u.choose(&VALUES)?.replace('"', "\\\"").replace("\\\\\"", "\\\"");
        let _ = write!(text, "{comma}l{number}=\"{value}\"");
    }
    let closed = *u.choose(&["", ","])?;
    let is_bare = text.is_empty() && u.arbitrary()?;
    Ok(match (is_bare, text.is_empty()) {
        (true, _) => String::new(),
        (false, true) => "{}".to_owned(),
        (false, false) => format!("{{{text}{closed}}}"),
    })
}

/// A value as it is written, with the number that it says, if it says one.
fn value(u: &mut Unstructured<'_>) -> Result<(String, Option<u32>)> {
    let number: u32 = u.int_in_range(0..=1_000)?;
    Ok(match u.int_in_range(0..=6)? {
        0 => (u.choose(&["NaN", "+Inf", "-Inf", "nan", "Inf"])?.to_string(), None),
        1 => (format!("{number}.0"), Some(number)),
        2 => (format!("{number}e0"), Some(number)),
        3 => (format!("{number}00.0e-2"), Some(number)),
        _ => (number.to_string(), Some(number)),
    })
}

/// What may follow a value: a timestamp, an exemplar, both.
fn tail(u: &mut Unstructured<'_>) -> Result<String> {
    let timestamp = *u.choose(&["", "", " 1700000000000", " 1700000000.123"])?;
    if u.arbitrary()? {
        return Ok(timestamp.to_owned());
    }
    let labels = match labels(u)?.as_str() {
        "" => "{}".to_owned(),
        labels => labels.to_owned(),
    };
    let (value, _) = value(u)?;
    let at = *u.choose(&["", " 1700000000.5"])?;
    Ok(format!("{timestamp} # {labels} {value}{at}"))
}

/// The page's lines: what is written, and for each family the numbers that it says.
fn page(u: &mut Unstructured<'_>) -> Result<(String, [Vec<u32>; 5])> {
    let mut page = String::new();
    let mut said: [Vec<u32>; 5] = Default::default();
    for (family, numbers) in FAMILIES.iter().zip(&mut said) {
        let _ = writeln!(page, "# HELP {family} is 3 # {{a=\"b\"}} 4\n# TYPE {family} gauge");
        for _ in 0..u.int_in_range(1..=3)? {
            let (value, number) = value(u)?;
            let _ = writeln!(page, "{family}{} {value}{}", labels(u)?, tail(u)?);
            numbers.extend(number);
        }
    }
    page.push_str("# EOF\n");
    Ok((page, said))
}

#[test]
fn whatever_stands_around_a_value_the_value_is_read() {
    let mut read = 0;
    arbtest::arbtest(|u| {
        let (page, [waiting, running, usage, queried, cached]) = page(u)?;
        let sum = |numbers: &[u32]| numbers.iter().sum::<u32>();
        let found = scan(page.as_bytes());
        let is_whole = ![&waiting, &running, &usage].iter().any(|numbers| numbers.is_empty());
        assert_eq!(found.is_ok(), is_whole, "{page}");
        let Ok(found) = found else { return Ok(()) };
        read += 1;
        assert_eq!((found.waiting, found.running), (sum(&waiting), sum(&running)), "{page}");
        let most = usage.iter().copied().max().unwrap_or_default().min(1);
        assert_eq!(found.kv_usage.to_bits(), f32::from(most as u8).to_bits(), "{page}");
        let prefixes = (!queried.is_empty() && !cached.is_empty())
            .then(|| PrefixUse { queried: sum(&queried).into(), cached: sum(&cached).into() });
        assert_eq!(found.prefixes, prefixes, "{page}");
        Ok(())
    })
    .budget_ms(1_000);
    assert!(read > 10, "only {read} pages had all that is needed");
}

#[test]
fn an_exemplar_is_no_label_and_no_value() {
    let page = "vllm:num_requests_waiting{engine=\"0\"} 0 # {trace_id=\"b\"} 7\n\
                vllm:num_requests_running{engine=\"0\"} 2 # {engine=\"1\"} 9 1700000000.1\n\
                vllm:kv_cache_usage_perc 0.25 # {} 1\n\
                vllm:prefix_cache_queries_total{engine=\"0\"} 20 # {a=\"} 3\"} 1\n\
                vllm:prefix_cache_hits_total{engine=\"0\"} 10 1.5 # {a=\"b\",c=\"\\\"\"} 1\n";
    let found = scan(page.as_bytes()).unwrap();
    assert_eq!((found.waiting, found.running), (0, 2));
    assert_eq!(found.prefixes, Some(PrefixUse { queried: 20, cached: 10 }));
}
