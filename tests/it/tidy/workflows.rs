//! The workflows that make a release: what runs code of others may write nothing and sign nothing.

use std::fs;

use serde_json::Value;

use super::root;

/// Commands that run code of the dependencies, which nobody here has read.
const BUILDS: [&str; 4] = ["build.sh", ".ci/run", "cargo ", "pip "];

fn workflows() -> Vec<(String, Value)> {
    let folder = root().join(".github/workflows");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.display().to_string(), serde_saphyr::from_str(&text).unwrap())
    };
    files.map(read).collect()
}

/// A permission that lets a job change or sign anything.
fn writes(permissions: &Value) -> bool {
    match permissions {
        Value::Object(all) => all.values().any(|it| it != "read" && it != "none"),
        Value::Null => true,
        other => other != "read-all",
    }
}

#[test]
fn no_job_builds_with_permissions_or_with_actions_that_may_change() {
    let mut steps_seen = 0;
    for (file, workflow) in workflows() {
        assert!(!writes(&workflow["permissions"]), "{file}: each job is to name its own");
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            let at = format!("{file}, job {name}");
            let may_write = writes(&job["permissions"]) || job["env"].to_string().contains("token");
            for step in job["steps"].as_array().unwrap() {
                steps_seen += 1;
                let run = step["run"].as_str().unwrap_or_default();
                let builds = BUILDS.iter().any(|it| run.contains(it));
                assert!(!(may_write && builds), "{at} may write, and runs: {run}");
                let Some(action) = step["uses"].as_str() else { continue };
                let commit = action.split_once('@').map(|(_, commit)| commit).unwrap_or_default();
                let is_commit =
                    commit.len() == 40 && commit.bytes().all(|it| it.is_ascii_hexdigit());
                assert!(is_commit, "{at}: found {action}; allowed: an action by its commit");
                let keeps = &step["with"]["persist-credentials"];
                assert!(!action.contains("/checkout@") || keeps == false, "{at} keeps its token");
            }
        }
    }
    assert!(steps_seen > 0, "there are no workflows");
}
