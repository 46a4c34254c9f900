//! Sets the cfg of the build for shuttle.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=poem_session_shuttle");
    // The source names features that this package does not have.
    println!("cargo::rustc-check-cfg=cfg(feature, values(any()))");
}
