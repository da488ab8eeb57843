//! The families of Python and its process. A family that has no meaning here has the value of a
//! real page.

use super::exposition::Exposition;

/// Resident bytes, CPU time and virtual bytes of an API server with a small model.
const RESIDENT_BYTES: f64 = 510_107_648.0;
const CPU_SECONDS: f64 = 3.07;
const VIRTUAL_BYTES: f64 = 2_768_306_176.0;

pub(super) fn write(page: &mut Exposition) {
    generations(page, "python_gc_objects_collected_total", [14_601.0, 3_401.0, 502.0]);
    generations(page, "python_gc_objects_uncollectable_total", [0.0; 3]);
    generations(page, "python_gc_collections_total", [1_862.0, 170.0, 12.0]);
    let python = [
        ("implementation", "CPython"),
        ("major", "3"),
        ("minor", "11"),
        ("patchlevel", "7"),
        ("version", "3.11.7"),
    ];
    page.gauge("python_info", &[(&python, 1.0)]);
    page.gauge("process_virtual_memory_bytes", &[(&[], VIRTUAL_BYTES)]);
    page.gauge("process_resident_memory_bytes", &[(&[], RESIDENT_BYTES)]);
    page.gauge("process_start_time_seconds", &[(&[], page.created())]);
    page.family("process_cpu_seconds_total", "counter");
    page.sample("process_cpu_seconds_total", &[], CPU_SECONDS);
    page.gauge("process_open_fds", &[(&[], 66.0)]);
    page.gauge("process_max_fds", &[(&[], 20_000.0)]);
}

/// Writes a counter of the garbage collector.
fn generations(page: &mut Exposition, name: &str, values: [f64; 3]) {
    page.family(name, "counter");
    for (generation, value) in ["0", "1", "2"].iter().zip(values) {
        page.sample(name, &[("generation", generation)], value);
    }
}
