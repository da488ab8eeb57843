//! Labels as a part of a stat's name, until Envoy's stats tags take them out: see envoy/local/.

/// Longest value of a label, in characters: a model's name has at most 255, and few have 60.
const LABEL_MAX: usize = 128;

/// Writes a label with a value of anybody's choosing, as models, tenants, pools and addresses are; a
/// semicolon ends it. The same rule for all families, so that one tenant or model has one name in all of
/// them: what would end a name, a label or a line is replaced, and what is too long is cut.
pub(crate) fn label(name: &str, value: &str) -> String {
    let fit = |c: char| if c.is_ascii_graphic() && !";\"\\".contains(c) { c } else { '_' };
    let value: String = value.chars().take(LABEL_MAX).map(fit).collect();
    format!(".{name}={value};")
}
