//! The server's own parse tree of a statement, parsed from the text that `debug_print_rewritten` sends (`nodeToString`
//! in src/backend/nodes/outfuncs.c).
//!
//! In it names are resolved, casts are explicit, views are expanded, and rules and row-level security policies are
//! applied. This module knows only the syntax; what the nodes mean is for `conflict` to say.

/// A tree with more levels is not parsed: a statement that deep counts as unknown.
const DEEPEST: usize = 300;

/// A value in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// `<>`: no value.
    Null,
    /// A number, a name or a truth value, as text.
    Atom(String),
    List(Vec<Node>),
    /// A constant's value, byte by byte.
    Bytes(Vec<u8>),
    Struct(Struct),
}

/// A node with its fields, such as `{VAR :varno 1 …}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struct {
    pub tag: String,
    fields: Vec<(String, Node)>,
}

impl Struct {
    /// A field's value; `Null` if there is none with that name (fields differ between versions of the server).
    pub fn field(&self, name: &str) -> &Node {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map_or(&Node::Null, |(_, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    pub fn fields(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A numeric field; 0 if it has no number.
    pub fn number<T: std::str::FromStr + Default>(&self, name: &str) -> T {
        self.field(name)
            .atom()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.field(name).atom() == Some("true")
    }

    /// The nodes of a field with a list; empty if it has no list.
    pub fn list(&self, name: &str) -> &[Node] {
        match self.field(name) {
            Node::List(items) => items,
            _ => &[],
        }
    }

    pub fn structs(&self, name: &str) -> impl Iterator<Item = &Struct> {
        self.list(name).iter().filter_map(Node::as_struct)
    }

    /// This node and all below it.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Struct)) {
        visit(self);
        for (_, value) in &self.fields {
            value.walk(visit);
        }
    }
}

impl Node {
    /// Parses the list of queries that the server made of a statement. `None` if it is not such a list.
    pub fn parse(text: &str) -> Option<Node> {
        let mut reader = Reader {
            tokens: split(text),
            next: 0,
        };
        let node = reader.value(0)?;
        (reader.next == reader.tokens.len()).then_some(node)
    }

    pub fn as_struct(&self) -> Option<&Struct> {
        match self {
            Node::Struct(node) => Some(node),
            _ => None,
        }
    }

    pub fn atom(&self) -> Option<&str> {
        match self {
            Node::Atom(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        *self == Node::Null
    }

    fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Struct)) {
        match self {
            Node::Struct(node) => node.walk(visit),
            Node::List(items) => items.iter().for_each(|item| item.walk(visit)),
            Node::Null | Node::Atom(_) | Node::Bytes(_) => {}
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    OpenNode,
    CloseNode,
    Null,
    Text(String),
}

/// Like `pg_strtok` (src/backend/nodes/read.c): blanks end a token, brackets are tokens, and a backslash escapes a
/// character.
fn split(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut end = |word: &mut String, quoted: &mut bool| {
        if !word.is_empty() {
            let text = std::mem::take(word);
            tokens.push(match text.as_str() {
                "<>" if !*quoted => Token::Null,
                "(" if !*quoted => Token::Open,
                ")" if !*quoted => Token::Close,
                "{" if !*quoted => Token::OpenNode,
                "}" if !*quoted => Token::CloseNode,
                _ => Token::Text(text),
            });
        }
        *quoted = false;
    };
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\n' | '\t' => end(&mut word, &mut quoted),
            '(' | ')' | '{' | '}' => {
                end(&mut word, &mut quoted);
                word.push(character);
                end(&mut word, &mut quoted);
            }
            '\\' => {
                word.extend(characters.next());
                quoted = true;
            }
            _ => word.push(character),
        }
    }
    end(&mut word, &mut quoted);
    tokens
}

struct Reader {
    tokens: Vec<Token>,
    next: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > DEEPEST {
            return None;
        }
        match self.take()? {
            Token::Null => Some(Node::Null),
            Token::Text(text) => Some(Node::Atom(text)),
            Token::Open => {
                let mut items = Vec::new();
                while self.peek()? != &Token::Close {
                    items.push(self.value(depth + 1)?);
                }
                self.next += 1;
                Some(Node::List(items))
            }
            Token::OpenNode => {
                let Some(Token::Text(tag)) = self.take() else {
                    return None;
                };
                let mut fields = Vec::new();
                loop {
                    match self.take()? {
                        Token::CloseNode => break,
                        Token::Text(name) if name.starts_with(':') => {
                            let value = self.field(depth)?;
                            fields.push((name[1..].to_owned(), value));
                        }
                        // a part of a value that is not understood
                        _ => {}
                    }
                }
                Some(Node::Struct(Struct { tag, fields }))
            }
            Token::Close | Token::CloseNode => None,
        }
    }

    /// A field's value: `4 [ 1 0 0 0 ]` is a length and bytes.
    fn field(&mut self, depth: usize) -> Option<Node> {
        let value = self.value(depth + 1)?;
        if self.peek() != Some(&Token::Text("[".to_owned())) {
            return Some(value);
        }
        self.next += 1;
        let mut bytes = Vec::new();
        loop {
            match self.take()? {
                Token::Text(end) if end == "]" => return Some(Node::Bytes(bytes)),
                // bytes are printed as signed or unsigned numbers
                Token::Text(number) => bytes.push((number.parse::<i16>().ok()? & 0xff) as u8),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TREE: &str = r#"({QUERY :commandType 1 :utilityStmt <> :rtable ({RANGETBLENTRY :eref {ALIAS :aliasname a\ \(b :colnames
 ("id" "v")} :relid 16384 :selectedCols (b 8 9)}) :quals {CONST :consttype 23 :constisnull false :location -1
 :constvalue 4 [ -1 0 0 0 0 0 0 0 ]}})"#;

    #[test]
    fn nodes_lists_and_constants_are_read() {
        let Some(Node::List(queries)) = Node::parse(TREE) else {
            panic!("no list")
        };
        let query = queries[0].as_struct().unwrap();
        assert_eq!((query.tag.as_str(), query.number::<u32>("commandType")), ("QUERY", 1));
        assert!(query.field("utilityStmt").is_null() && query.field("none").is_null());
        let table = query.structs("rtable").next().unwrap();
        let name = table.field("eref").as_struct().unwrap().field("aliasname");
        assert_eq!((name.atom(), table.number::<u32>("relid")), (Some("a (b"), 16384));
        let constant = query.field("quals").as_struct().unwrap();
        assert_eq!(
            constant.field("constvalue"),
            &Node::Bytes(vec![255, 0, 0, 0, 0, 0, 0, 0])
        );
        let mut tags = Vec::new();
        query.walk(&mut |node| tags.push(node.tag.clone()));
        assert_eq!(tags, ["QUERY", "RANGETBLENTRY", "ALIAS", "CONST"]);
    }

    #[test]
    fn a_value_may_look_like_a_fields_name() {
        let Some(Node::Struct(node)) = Node::parse("{A :resname :x :resno 2}") else {
            panic!("no node")
        };
        assert_eq!(
            (node.field("resname").atom(), node.number::<u8>("resno")),
            (Some(":x"), 2)
        );
    }

    #[test]
    fn a_tree_of_any_depth_is_no_end_of_the_program() {
        assert_eq!(Node::parse(&"(".repeat(100_000)), None);
        let nested = format!("{}{}", "(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(Node::parse(&nested), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r"[(){}\\\[\]:a<> 0-9]{0,60}") {
            let _ = Node::parse(&text);
        }
    }
}
