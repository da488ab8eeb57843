//! Lists in the configuration.

use serde_json::Value;

use super::At;
use crate::config::{ConfigError, ITEMS_MAX, faults::gather};

impl At<'_> {
    /// Reads the items of a list.
    ///
    /// # Errors
    /// For another value than a list, and for more than 256 items.
    pub fn list(&self) -> Result<Vec<Self>, ConfigError> {
        let items = self.long_list()?;
        self.at_most(items.len())?;
        Ok(items)
    }

    /// Returns the items of a list of any length, which the caller limits.
    ///
    /// # Errors
    /// For another value than a list.
    pub fn long_list(&self) -> Result<Vec<Self>, ConfigError> {
        let Value::Array(items) = self.value else { return Err(self.refuse("a list")) };
        let item = |(index, value)| self.child(format!("{}[{index}]", self.path), value);
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// Reads each item of a list with `read`. A faulty one is left out where faults are gathered.
    ///
    /// # Errors
    /// Those of [`At::list`], and the first of `read` where faults are not gathered.
    pub fn each<T>(
        &self,
        read: impl FnMut(&Self) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        self.each_of(self.list()?, read)
    }

    /// Reads each of these items as [`At::each`] does.
    ///
    /// # Errors
    /// The first of `read` where faults are not gathered.
    pub fn each_of<T>(
        &self,
        items: Vec<Self>,
        mut read: impl FnMut(&Self) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        let mut all = Vec::new();
        for item in items {
            all.extend(
                read(&item).map(Some).or_else(|fault| gather(self.faults, fault).map(|()| None))?,
            );
        }
        Ok(all)
    }

    /// Refuses a length of more than 256.
    pub(super) fn at_most(&self, found: usize) -> Result<(), ConfigError> {
        if found <= ITEMS_MAX {
            return Ok(());
        }
        Err(self.refuse_length(found, &format!("at most {ITEMS_MAX}")))
    }
}
