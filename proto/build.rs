//! Generates the contract's code with protox, so that no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 3] = ["cloudach/v1/inference.proto", "cloudach/v1/catalog.proto", "cloudach/v1/fleet.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Kept for gRPC reflection.
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".cloudach.v1.Piece")
        // Frames lie in vectors: one that opens a request would make all of them as large as it is.
        .boxed(".cloudach.v1.UpFrame.frame.open")
        .compile_fds(descriptors)?;
    Ok(())
}
