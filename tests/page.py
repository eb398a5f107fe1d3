"""A page as a browser would take it: what it loads, what it shows, and what is left open."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects what a browser would load, the text it would show, and tags that are left open."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.text, self.tags, self.open = [], [], set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("html", "body", "table", "div", "style", "figure", "ul", "dl", "h1", "h2"):
            while self.open and self.open[-1] != tag:
                self.open.pop()
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.text.append(data)
