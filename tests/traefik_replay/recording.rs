//! Reads recorded responses: blocks that begin with `### `, a title that describes the request, and the raw response.

/// A request and its response.
pub struct Block {
    /// Host, target and curl's arguments; or the name of a handwritten request.
    pub title: String,
    /// Whether the title is a name.
    pub by_hand: bool,
    pub answer: Recorded,
}

pub struct Recorded {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

pub struct Recording {
    pub blocks: Vec<Block>,
    /// Names of the servers that responded one after the other.
    pub turns: Vec<Vec<String>>,
    /// Statuses of consecutive responses.
    pub statuses: Vec<Vec<u16>>,
}

impl Recording {
    pub fn parse(text: &str) -> Recording {
        let mut recording = Recording { blocks: Vec::new(), turns: Vec::new(), statuses: Vec::new() };
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.starts_with("\"name\":") {
                let names =
                    line.split_whitespace().filter_map(|pair| pair.strip_prefix("\"name\":\"")?.strip_suffix('"'));
                recording.turns.push(names.map(str::to_owned).collect());
                continue;
            }
            if let Some(statuses) = statuses(line) {
                recording.statuses.push(statuses);
                continue;
            }
            let Some(title) = line.strip_prefix("### ") else { continue };
            let mut answer = Vec::new();
            while let Some(line) = lines.next_if(|line| !is_heading(line)) {
                answer.push(line);
            }
            if let Some(block) = block(title, &answer) {
                recording.blocks.push(block);
            }
        }
        recording
    }
}

fn is_heading(line: &str) -> bool {
    line.starts_with("### ") || line.starts_with("## ") || line.starts_with("\"name\":") || statuses(line).is_some()
}

/// A line that consists of status codes.
fn statuses(line: &str) -> Option<Vec<u16>> {
    let statuses = line.split_whitespace().map(|word| word.parse().ok().filter(|status| (100..600).contains(status)));
    statuses.collect::<Option<Vec<u16>>>().filter(|statuses| statuses.len() > 1)
}

/// A title with times in brackets is a name. Blocks whose response is in the title contain bytes that were lost in recording.
fn block(title: &str, lines: &[&str]) -> Option<Block> {
    let (name, by_hand) = match title.split_once(" [(") {
        Some((name, _)) => (name, true),
        None => (title, false),
    };
    // Of several responses (100 before 200, 401 before the digest) the last one counts.
    let start = lines.iter().rposition(|line| line.starts_with("HTTP/1."))?;
    let status = lines[start].split(' ').nth(1)?.parse().ok()?;
    let mut rest = lines[start + 1..].iter();
    let fields = rest.by_ref().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let body = rest.copied().collect::<Vec<_>>().join("\n");
    let body = body.split(['<', '~']).next().filter(|_| by_hand).unwrap_or(&body).trim_end().to_owned();
    Some(Block { title: name.to_owned(), by_hand, answer: Recorded { status, fields, body } })
}
