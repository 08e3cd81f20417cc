//! Manual pages in roff, see man(7): the parts that the pages are made of, and a translation of the documentation's Markdown.

/// The beginning of a page.
pub fn title(name: &str, section: u8, about: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let upper = name.to_uppercase();
    format!(
        ".\\\" Generated from the program's tables by make docs.\n\
         .TH \"{upper}\" {section} \"\" \"aisopod-gateway {version}\"\n.nh\n.ad l\n\
         .SH NAME\n{} \\- {}\n",
        text(name),
        text(about)
    )
}

/// A paragraph under a label.
pub fn entry(label: &str, body: &str) -> String {
    format!(".TP\n.B \"{}\"\n{}", quoted(label), paragraphs(body, ".IP\n"))
}

/// Plain text, of which each line is a paragraph; `separator` is between two of them.
pub fn paragraphs(body: &str, separator: &str) -> String {
    let lines: Vec<String> = body.lines().map(|line| inline(line) + "\n").collect();
    lines.join(separator)
}

/// A text in which no character has a function.
pub fn text(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    let escaped = escaped.replace('^', "\\(ha").replace('~', "\\(ti");
    let to_ascii = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    let escaped: String = escaped.chars().map(to_ascii).collect();
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}

fn quoted(label: &str) -> String {
    text(label).replace('"', "\\(dq")
}

/// A line of Markdown: code and strong text in bold, links as their texts.
pub fn inline(markdown: &str) -> String {
    let mut output = String::new();
    for (index, span) in markdown.split('`').enumerate() {
        if index % 2 == 1 {
            output += &format!("\\fB{}\\fR", text(span));
            continue;
        }
        let without_links = span.split('[').enumerate().map(|(index, part)| match part.split_once("](") {
            Some((label, rest)) if index > 0 => {
                format!("{label}{}", rest.split_once(')').map_or(rest, |(_, rest)| rest))
            }
            _ if index > 0 => format!("[{part}"),
            _ => part.to_owned(),
        });
        for (index, strong) in without_links.collect::<String>().split("**").enumerate() {
            let strong_text = text(strong);
            output += &if index % 2 == 1 { format!("\\fB{strong_text}\\fR") } else { strong_text };
        }
    }
    // A link whose label is code has its parts in different spans.
    let output = output.replace("[\\fB", "\\fB");
    let mut cleaned = String::new();
    let mut rest = output.as_str();
    while let Some((before, after)) = rest.split_once("](") {
        cleaned += before;
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    cleaned += rest;
    if cleaned.starts_with('.') { format!("\\&{cleaned}") } else { cleaned }
}

/// A document in Markdown, without its title and its list of links. `level` is the number of `#` of a section.
pub fn from_markdown(markdown: &str, level: usize) -> String {
    let mut output = String::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        } else if let Some(heading) = line.strip_prefix('#') {
            output += &heading_of(heading, level);
        } else if line.starts_with("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            output += &literal(&block);
        } else if let Some(first) = line.strip_prefix("    ") {
            let mut block = vec![first];
            while let Some(more) = lines.next_if(|line| line.starts_with("    ")) {
                block.push(more.trim_start_matches("    "));
            }
            output += &literal(&block);
        } else if line.starts_with('|') {
            let mut rows = vec![line];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(row);
            }
            output += &table(&rows[2..]);
        } else {
            let mut paragraph = line.to_owned();
            while let Some(more) = lines.next_if(|line| continues(line)) {
                paragraph += " ";
                paragraph += more.trim_start();
            }
            output += &item(&paragraph);
        }
    }
    output
}

/// Whether a line continues the paragraph or the item before it.
fn continues(line: &str) -> bool {
    let is_item = line.starts_with("- ") || numbered(line).is_some();
    !line.is_empty() && !is_item && !line.starts_with('#') && !line.starts_with('|') && !line.starts_with("```")
}

/// A numbered item: its number and its text.
fn numbered(line: &str) -> Option<(&str, &str)> {
    line.split_once(". ").filter(|(number, _)| number.len() == 1 && number.bytes().all(|c| c.is_ascii_digit()))
}

fn item(paragraph: &str) -> String {
    if paragraph.contains("](#") && paragraph.contains(" · ") {
        return String::new();
    }
    if let Some(text) = paragraph.strip_prefix("- ") {
        return format!(".IP \\(bu 2\n{}\n", inline(text));
    }
    match numbered(paragraph) {
        Some((number, text)) => format!(".IP {number}. 3\n{}\n", inline(text)),
        None => format!(".PP\n{}\n", inline(paragraph)),
    }
}

fn heading_of(heading: &str, level: usize) -> String {
    let depth = 1 + heading.len() - heading.trim_start_matches('#').len();
    let label = heading.trim_start_matches('#').trim().replace('`', "");
    match depth {
        depth if depth < level => String::new(),
        depth if depth == level => format!(".SH \"{}\"\n", quoted(&label.to_uppercase())),
        _ => format!(".SS \"{}\"\n", quoted(&label)),
    }
}

fn literal(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| text(line) + "\n").collect();
    format!(".PP\n.RS 4\n.nf\n{lines}.fi\n.RE\n")
}

/// The rows of a table: an entry for each, labelled with its first cell, or the first two of several.
fn table(rows: &[&str]) -> String {
    let mut output = String::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let labels = if cells.len() > 2 { 2 } else { 1 };
        let label: Vec<String> = cells[..labels].iter().map(|cell| inline(cell)).collect();
        let body: Vec<String> = cells[labels..].iter().map(|cell| inline(cell)).collect();
        output += &format!(".TP\n{}\n{}\n", label.join("  "), body.join("; "));
    }
    output
}
