//! Quantities as Kubernetes writes them.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A quantity of bytes; `None` when it is written in a way that is not known here, is negative or beyond 64 bits.
#[must_use]
pub fn bytes(quantity: &Quantity) -> Option<u64> {
    let thousandths = thousandths(&quantity.0)?;
    u64::try_from(thousandths.checked_add(999)?.checked_div(1000)?).ok()
}

/// A quantity in thousandths, the finest step that Kubernetes keeps; `None` when it is written in a way that is not known here.
#[must_use]
pub fn thousandths(text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 12] = [
        ("Ki", 1000 << 10),
        ("Mi", 1000 << 20),
        ("Gi", 1000 << 30),
        ("Ti", 1000 << 40),
        ("Pi", 1000 << 50),
        ("m", 1),
        ("k", 1_000_000),
        ("M", 1_000_000_000),
        ("G", 1_000_000_000_000),
        ("T", 1_000_000_000_000_000),
        ("P", 1_000_000_000_000_000_000),
        ("", 1000),
    ];
    let (number, unit) = UNITS.iter().find_map(|&(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    // Kubernetes rounds up what is finer than it keeps.
    digits.checked_mul(unit)?.checked_add(divisor - 1)?.checked_div(divisor)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", Some(0))]
    #[case("1Gi", Some(1 << 30))]
    #[case("1.5Ki", Some(1536))]
    #[case("2M", Some(2_000_000))]
    #[case("1m", Some(1))]
    #[case("-1Gi", None)]
    #[case("1e9", None)]
    #[case("much", None)]
    fn bytes_are_read(#[case] text: &str, #[case] wanted: Option<u64>) {
        assert_eq!(bytes(&Quantity(text.to_owned())), wanted);
    }
}
