//! Processes on the command line.

/// One or several: `12,13`, or on lines as `pidof` and `pgrep` print them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pids(Vec<i32>);

impl Pids {
    /// # Errors
    /// What is no process, or that there is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let items = text.split([',', ' ', '\t', '\n']);
        let items = items.filter(|item| !item.is_empty());
        let pids = items.map(|item| match item.parse() {
            Ok(pid) if pid > 0 => Ok(pid),
            _ => Err(format!("{item:?} is not the number of a process")),
        });
        let pids = pids.collect::<Result<Vec<i32>, _>>()?;
        match pids.is_empty() {
            true => Err("there is no number of a process in it".to_owned()),
            false => Ok(Self(pids)),
        }
    }

    /// All of several options.
    pub(crate) fn all(lists: &[Self]) -> impl Iterator<Item = pai_ptrace::Pid> {
        let pids = lists.iter().flat_map(|list| &list.0);
        pids.copied().map(pai_ptrace::Pid::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_those_of_shells() {
        for text in ["12,13", "12 13", "12\n13\n", "\t12, 13,"] {
            assert_eq!(Pids::parse(text), Ok(Pids(vec![12, 13])), "{text:?}");
        }
        for text in ["", " ", "x", "12,0", "-1", "12;13", "99999999999"] {
            let error = Pids::parse(text).unwrap_err();
            assert!(error.contains("number of a process"), "{text:?}: {error}");
        }
    }
}
