// SPDX-License-Identifier: GPL-2.0

//! What must not compile: the ownership rule, and the lifetimes of handles' bytes.
//!
//! Each file of `compile_fail/` says in its second line which error it has to give, and has one
//! line marked `// offending`. The file must give that error and no other, and must compile
//! without the line: so it fails for that line alone. Not `trybuild`, as that compares messages to
//! the letter, which differ between the compilers of Debian 12, 13 and rustup.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

// The library as cargo built it for this test.
fn library() -> (PathBuf, PathBuf) {
    let deps = env::current_exe().unwrap().parent().unwrap().to_owned();
    let newest = fs::read_dir(&deps)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("libzsmalloc_host-") && name.ends_with(".rlib")
        })
        .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
        .expect("the library is built");
    (deps, newest)
}

// The codes of the errors that compiling `source` gives, and what the compiler said.
fn errors(name: &str, source: &str) -> (BTreeSet<String>, String) {
    let (deps, library) = library();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{name}.rs"));
    fs::write(&file, source).unwrap();
    let output = Command::new(env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
        .args(["--edition=2021", "--crate-type=lib", "--emit=metadata"])
        .arg("--out-dir")
        .arg(folder)
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("--extern")
        .arg(format!("zsmalloc_host={}", library.display()))
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let codes: BTreeSet<String> = said
        .lines()
        .filter_map(|line| Some(line.strip_prefix("error[")?.split(']').next()?.to_owned()))
        .collect();
    assert_eq!(codes.is_empty(), output.status.success(), "{name}: {said}");
    (codes, said)
}

#[test]
fn each_fails_for_its_offending_line_alone() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let source = fs::read_to_string(&path).unwrap();
        let expected = source.lines().nth(1).unwrap().trim_start_matches("// ");
        let (codes, said) = errors(&name, &source);
        assert_eq!(
            codes,
            BTreeSet::from([expected.to_owned()]),
            "{name}: {said}"
        );

        let without: String = source
            .lines()
            .filter(|line| !line.ends_with("// offending"))
            .map(|line| line.to_owned() + "\n")
            .collect();
        assert_eq!(
            source.lines().count(),
            without.lines().count() + 1,
            "{name}"
        );
        let (codes, said) = errors(&name, &without);
        assert!(
            codes.is_empty(),
            "{name} without its offending line: {said}"
        );
    }
}
