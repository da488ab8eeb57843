//! Labels as a part of a stat's name, until Envoy's stats tags take them out: see envoy/local/.

/// Longest label, in bytes: a model's name has at most 255, and few have 60.
pub(crate) const LABEL_MAX: usize = 128;

/// Writes a label with a value that may have dots, as models and addresses do: it ends with a semicolon.
pub(crate) fn dotted(name: &str, value: &str) -> String {
    let fit = |c: char| if c.is_ascii_graphic() && !";\"\\".contains(c) { c } else { '_' };
    let value: String = value.chars().take(LABEL_MAX).map(fit).collect();
    format!(".{name}={value};")
}

/// Writes a value without dots: a pool, a tenant, a number.
pub(crate) fn plain(value: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    value.chars().take(LABEL_MAX).map(fit).collect()
}
