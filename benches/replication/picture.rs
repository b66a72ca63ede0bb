//! The medians as bars, each row relative to its first arm: an SVG of its own.

use std::fmt::Write as _;

use crate::stats::Row;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 330.0;
const BAR: f64 = 18.0;
const GAP: f64 = 6.0;
/// Longest bar; a ratio beyond the scale is cut there and its number says so.
const SCALE_RATIO: f64 = 4.0;

/// Draws all rows.
pub(crate) fn draw(rows: &[Row]) -> String {
    let mut body = String::new();
    let mut y = 34.0;
    for row in rows {
        text(&mut body, 12.0, y, "font-weight='bold'", &format!("{} ({})", row.title, row.unit));
        y += GAP;
        for (at, (name, arm)) in row.arms.iter().enumerate() {
            let ratio = row.ratio(arm);
            let length = ratio.clamp(0.0, SCALE_RATIO) / SCALE_RATIO * (WIDTH - LEFT - 170.0);
            let colour = if at == 0 { "#8a8f98" } else { "#2f6fde" };
            text(&mut body, 24.0, y + BAR - 4.0, "", name);
            // Writing to a String cannot fail.
            let _ =
                write!(body, "<rect x='{LEFT}' y='{y:.1}' width='{length:.1}' height='{BAR}' rx='3' fill='{colour}'/>");
            let cut = if ratio > SCALE_RATIO { " →" } else { "" };
            let label = format!("{ratio:.2}×{cut}  ({:.3} {})", arm.median(), row.unit);
            text(&mut body, LEFT + length + 8.0, y + BAR - 4.0, "", &label);
            y += BAR + GAP;
        }
        y += 24.0;
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y:.0}' font-family='sans-serif' font-size='13'>\
         <rect width='100%' height='100%' fill='white'/>\
         <text x='12' y='14' font-size='11' fill='#555'>medians; grey: the peer that the others are compared with</text>{body}</svg>\n"
    )
}

fn text(out: &mut String, x: f64, y: f64, style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = write!(out, "<text x='{x:.1}' y='{y:.1}' {style}>{words}</text>");
}
