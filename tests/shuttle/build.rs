//! Says that this is the build for shuttle.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=poem_session_shuttle");
    // The source speaks of features that this package does not have.
    println!("cargo::rustc-check-cfg=cfg(feature, values(any()))");
}
