// SPDX-License-Identifier: GPL-2.0

//! Code that the types forbid does not compile. Each file in `compile_fail/` fails with exactly the
//! error codes, on the lines, that its `//~` comments name. Without these lines it compiles.
//!
//! `trybuild` compares the text of messages, which differs between the compilers of Debian 12,
//! Debian 13 and rustup.
#![cfg(not(loom))]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or("cargo".into(), Into::into)
}

fn rustc() -> PathBuf {
    if let Some(rustc) = std::env::var_os("RUSTC") {
        return rustc.into();
    }
    // The compiler next to cargo.
    let beside = cargo().with_file_name("rustc");
    if beside.is_file() {
        beside
    } else {
        "rustc".into()
    }
}

/// Builds the library with the profile of this test, and returns its path.
fn library() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let profile = exe.parent().and_then(Path::parent).unwrap();
    let mut command = Command::new(cargo());
    command
        .args(["build", "--lib", "--locked", "--offline", "--quiet"])
        .args(["--message-format", "json", "--target-dir"])
        .arg(profile.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit());
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "cargo build");
    let messages = String::from_utf8(output.stdout).unwrap();
    let path = messages
        .split('"')
        .find(|text| text.ends_with(".rlib") && text.contains("zsmalloc_host"));
    path.expect("no library in cargo's output").into()
}

/// Compiles a file. Returns line and code of each error ("lint" for a lint).
fn errors(library: &Path, source: &str, name: &str) -> Vec<(usize, String)> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name).with_extension("rs");
    std::fs::write(&file, source).unwrap();
    let output = Command::new(rustc())
        .args(["--edition", "2021", "--crate-type", "lib", "--emit"])
        .arg(format!(
            "metadata={}",
            file.with_extension("rmeta").display()
        ))
        .args(["--error-format", "short", "--extern"])
        .arg(format!("zsmalloc_host={}", library.display()))
        .arg("-L")
        .arg(format!(
            "dependency={}/deps",
            library.parent().unwrap().display()
        ))
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<(usize, String)> = text
        .lines()
        .filter_map(|line| {
            // FILE:LINE:COLUMN: error[CODE]: TEXT
            let (at, message) = line.split_once(": error")?;
            let line = at.rsplit(':').nth(1)?.parse().ok()?;
            let code = message
                .strip_prefix('[')
                .and_then(|rest| rest.split(']').next());
            Some((line, code.unwrap_or("lint").to_owned()))
        })
        .collect();
    assert_eq!(output.status.success(), errors.is_empty(), "{name}: {text}");
    errors
}

fn check(library: &Path, path: &Path) -> Result<(), String> {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let source = std::fs::read_to_string(path).unwrap();
    let expected: Vec<(usize, String)> = source
        .lines()
        .enumerate()
        .filter_map(|(i, line)| Some((i + 1, line.split_once("//~")?.1)))
        .flat_map(|(line, codes)| {
            codes
                .split_whitespace()
                .map(move |code| (line, code.into()))
        })
        .collect();
    if expected.is_empty() {
        return Err("no error is expected".into());
    }
    let mut found = errors(library, &source, name);
    // Some compilers report an error once per field.
    found.sort();
    found.dedup();
    if found != expected {
        return Err(format!("expected {expected:?}, found {found:?}"));
    }
    let harmless: String = source
        .lines()
        .map(|line| {
            if line.contains("//~") {
                "\n".into()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    let found = errors(library, &harmless, &format!("{name}-harmless"));
    if !found.is_empty() {
        return Err(format!("without the marked lines: {found:?}"));
    }
    Ok(())
}

#[test]
fn what_the_types_rule_out_does_not_compile() {
    let library = library();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() > 20);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(path) =
                    cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let name = path.file_name().unwrap().to_string_lossy();
                    match check(&library, path) {
                        Ok(()) => println!("{name}: as expected"),
                        Err(why) => failed.lock().unwrap().push(format!("{name}: {why}")),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
