//! Changing levels of this process's loggers (Kafka's `RuntimeLoggerManager`). Nothing is stored:
//! the next start has the levels of its configuration again.

use super::alter::{AlterError, Operation};
use crate::authorizer::{Authorized, Cluster, op};
use crate::logging::Loggers;
use crate::logging::levels::{Level, Levels, SETTABLE};
use crate::logging::names::ROOT;

/// Changes all of them or, where one is refused, none; in force when this returns. With
/// `validate_only` nothing changes.
pub fn alter(
    loggers: &Loggers,
    _: &Authorized<'_, op::AlterConfigs, Cluster>,
    operations: &[(String, Operation)],
    validate_only: bool,
) -> Result<(), AlterError> {
    let levels = loggers.levels();
    let changes: Vec<_> = operations
        .iter()
        .map(|(logger, operation)| Ok((logger, change(&levels, logger, operation)?)))
        .collect::<Result<_, AlterError>>()?;
    if validate_only {
        return Ok(());
    }
    loggers.change(|levels| {
        for (logger, level) in &changes {
            match level {
                Some(level) => levels.set(logger, *level),
                None => levels.unset(logger),
            }
        }
    });
    for (logger, level) in changes {
        let level = level.map_or("that of the logger above".to_owned(), |level| level.to_string());
        tracing::warn!(logger, level, "the level of a logger was changed");
    }
    Ok(())
}

/// The level that the logger gets; `None` takes its own away.
fn change(
    levels: &Levels,
    logger: &str,
    operation: &Operation,
) -> Result<Option<Level>, AlterError> {
    let exists = || match levels.exists(logger) {
        true => Ok(()),
        false => Err(AlterError::InvalidConfig(format!("Logger {logger} does not exist!"))),
    };
    let not_allowed = |verb: &str| {
        let text = format!("{verb} operation is not allowed for the BROKER_LOGGER resource");
        Err(AlterError::InvalidRequest(text))
    };
    match operation {
        Operation::Set(name) => {
            exists()?;
            let level = Level::settable(name).ok_or_else(|| {
                let all = SETTABLE.map(|level| level.to_string()).join(", ");
                AlterError::InvalidConfig(format!(
                    "Cannot set the log level of {logger} to {name} as it is not a supported log \
                     level. Valid log levels are {all}"
                ))
            })?;
            Ok(Some(level))
        }
        Operation::Delete => {
            exists()?;
            if logger == ROOT {
                let text = "Removing the log level of the root logger is not allowed";
                return Err(AlterError::InvalidRequest(text.to_owned()));
            }
            Ok(None)
        }
        Operation::Append(_) => not_allowed("APPEND"),
        Operation::Subtract(_) => not_allowed("SUBTRACT"),
        Operation::Unknown(number) => {
            Err(AlterError::Unexpected(format!("there is no operation {number} on a logger")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_apaches() {
        let levels = Levels::default();
        let set = |level: &str| Operation::Set(level.to_owned());
        let bad_level = |level: &str| {
            format!(
                "Cannot set the log level of kafka to {level} as it is not a supported log level. \
                 Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN"
            )
        };
        let no_such = "Logger no.such does not exist!".to_owned();
        let root = "Removing the log level of the root logger is not allowed".to_owned();
        let append = "APPEND operation is not allowed for the BROKER_LOGGER resource".to_owned();
        for (logger, operation, expected) in [
            ("no.such", set("INFO"), AlterError::InvalidConfig(no_such.clone())),
            ("no.such", Operation::Delete, AlterError::InvalidConfig(no_such)),
            ("kafka", set("debug"), AlterError::InvalidConfig(bad_level("debug"))),
            ("kafka", set(""), AlterError::InvalidConfig(bad_level(""))),
            ("kafka", set("OFF"), AlterError::InvalidConfig(bad_level("OFF"))),
            ("root", Operation::Delete, AlterError::InvalidRequest(root)),
            ("kafka", Operation::Append("INFO".into()), AlterError::InvalidRequest(append)),
        ] {
            let error = change(&levels, logger, &operation).expect_err(logger);
            let kind = std::mem::discriminant(&error);
            assert_eq!(kind, std::mem::discriminant(&expected), "{error}");
            assert_eq!(error.to_string(), expected.to_string());
        }
        let unknown = change(&levels, "kafka", &Operation::Unknown(9)).expect_err("unknown");
        assert!(matches!(unknown, AlterError::Unexpected(_)), "{unknown}");
        for level in ["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"] {
            let given = change(&levels, "root", &set(level)).expect("a level");
            assert_eq!(given.map(|level| level.to_string()).as_deref(), Some(level));
        }
        assert!(matches!(change(&levels, "kafka.controller", &Operation::Delete), Ok(None)));
    }
}
