//! `dump-log` (kafka-dump-log.sh): shows segments, indexes and snapshots of a log directory. Prints
//! what Kafka's `DumpLogSegments` prints; needs no broker.

mod decoder;
mod index;
mod log;
mod segment;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::args;
use decoder::Decoder;

const TOOL: &str = "dump-log";

/// Show the contents of log segments, indexes and producer snapshots.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Print keys and values too.
    #[arg(long)]
    print_data_log: bool,
    /// Only compare indexes with their log.
    #[arg(long)]
    verify_index_only: bool,
    /// Only make the check of indexes that a broker makes when it starts.
    #[arg(long)]
    index_sanity_check: bool,
    /// Files: a.log,b.index,…
    #[arg(long, value_delimiter = ',')]
    files: Vec<PathBuf>,
    /// Accepted and without effect: batches are read as large as they are.
    #[arg(long)]
    max_message_size: Option<i32>,
    /// Read no more of a segment than this.
    #[arg(long)]
    max_bytes: Option<u64>,
    /// Show each record, not only batches.
    #[arg(long)]
    deep_iteration: bool,
    /// How values are shown: Kafka's class names StringDecoder, LongDecoder, IntegerDecoder.
    #[arg(long, num_args = 0..=1, default_missing_value = "StringDecoder")]
    value_decoder_class: Option<String>,
    /// How keys are shown.
    #[arg(long, num_args = 0..=1, default_missing_value = "StringDecoder")]
    key_decoder_class: Option<String>,
    /// Show records as those of __consumer_offsets.
    #[arg(long)]
    offsets_decoder: bool,
    /// Show records as those of __transaction_state.
    #[arg(long)]
    transaction_log_decoder: bool,
    /// Do not show offset, time and sizes of each record.
    #[arg(long)]
    skip_record_metadata: bool,
}

/// Findings that Kafka's tool tells at the end, on standard error.
#[derive(Debug, Default)]
struct Findings(String);

pub fn run(given: &[String]) -> ExitCode {
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if flags.files.is_empty() {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[files]\"");
    }
    let decoder = match Decoder::of(&flags) {
        Ok(decoder) => decoder,
        Err(reason) => return args::usage::<Flags>(TOOL, &reason),
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut findings = Findings::default();
    let mut code = ExitCode::SUCCESS;
    for path in &flags.files {
        if let Err(error) = dump(path, &flags, &decoder, &mut out, &mut findings) {
            use std::io::Write;
            let _ = out.flush();
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                return ExitCode::FAILURE;
            }
            eprintln!("{}: {error}", path.display());
            code = ExitCode::FAILURE;
        }
    }
    use std::io::Write;
    if out.flush().is_err() {
        return ExitCode::FAILURE;
    }
    eprint!("{}", findings.0);
    code
}

fn dump(
    path: &Path,
    flags: &Flags,
    decoder: &Decoder,
    out: &mut impl std::io::Write,
    findings: &mut Findings,
) -> std::io::Result<()> {
    writeln!(out, "Dumping {}", path.display())?;
    match path.extension().and_then(|e| e.to_str()) {
        Some("log") => log::dump(path, flags, decoder, out, findings),
        Some("index") => index::offsets(path, flags, out, findings),
        Some("timeindex") => index::times(path, flags, out, findings),
        Some("txnindex") => index::transactions(path, out),
        Some("snapshot") => index::producers(path, out),
        _ => {
            eprintln!("Ignoring unknown file {}", path.display());
            Ok(())
        }
    }
}

/// The offset in a file's name: the digits before the first dot.
fn base_offset(path: &Path) -> std::io::Result<i64> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let digits = name.split('.').next().unwrap_or_default();
    digits.parse().map_err(|_| invalid(format!("For input string: \"{digits}\"")))
}

fn invalid(text: impl Into<String>) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, text.into())
}
