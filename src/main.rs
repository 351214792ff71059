//! The program: its command line, run; its exit code.

fn main() -> std::process::ExitCode {
    gatepost::cli::main(std::env::args_os(), gatepost::app::run)
}
