//! The page's files, and what is said with each of them.

/// A file of the page.
#[derive(Debug)]
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: &'static str,
    /// What it is.
    pub(crate) kind: &'static str,
    /// What is in it.
    pub(crate) text: &'static str,
}

/// All of them: nothing else is loaded, from nowhere.
pub(crate) const FILES: [File; 3] = [
    File { path: "/", kind: "text/html; charset=utf-8", text: include_str!("files/index.html") },
    File { path: "/page.css", kind: "text/css; charset=utf-8", text: include_str!("files/page.css") },
    File { path: "/page.js", kind: "text/javascript; charset=utf-8", text: include_str!("files/page.js") },
];

/// Headers of every answer: nothing runs or loads but the page's own files, nobody frames it, and nothing is kept.
pub(crate) const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Whether a server on the loopback address answers a question for this host. Another name that leads there is somebody else's, whose page
/// would read this one (DNS rebinding).
pub(crate) fn answers_to(host: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name == "[::1]" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}
