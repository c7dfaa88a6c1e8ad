//! pai-host as its users have it: the program, real targets, real plugins, and
//! strace as a peer.

mod attach;
mod bad_input;
mod cli;
mod common;
mod errors;
mod guide;
mod hostile;
mod instruments;
mod leaks;
mod like_strace;
mod plugin_exec_tree;
mod plugin_fault;
mod plugin_files;
mod plugin_net;
mod plugins;
mod programs;
mod readme;
mod records;
mod schema;
mod several;
mod several_instruments;
mod stops;
mod strace_command_line;
mod strace_fds;
mod strace_inject;
mod strace_json;
mod strace_limits;
mod strace_options;
mod terminal;
mod whole_client;
