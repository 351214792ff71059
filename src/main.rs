//! The program: its command line, run; its exit code.

/// Chosen by measurement: tests/bench/FIGURES.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    gatepost::cli::main(std::env::args_os(), gatepost::app::run)
}
