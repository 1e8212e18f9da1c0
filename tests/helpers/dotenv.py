"""Lines of .env, and what they mean to Compose: tests of Compose, and of what runs without it, have the same."""

VALUES = {
    "WORDS": "two words",
    "APOSTROPHE": "it's",
    "BACKSLASH": r"C:\temp\new",
    "OBJECT": '{"a": 1}',
    "LIST": '["http://a", "http://b"]',
    "DOLLAR": "pa$word",
    "RAW": r"C:\new $HOME # it's",
    "QUOTED": 'one\n"two"\t$three \\',
    "SEVERAL": "first\nsecond",
    "COMMENT": "value#1",
    "REFERENCE": "two words, again",
    "EXPORTED": "yes",
    "EMPTY": "",
    "KOREAN": "가나다",
}
TEXT = r"""
# A comment
WORDS=two words
APOSTROPHE=it's
BACKSLASH=C:\temp\new
OBJECT={"a": 1}
LIST=["http://a", "http://b"]
DOLLAR=pa$$word
RAW='C:\new $HOME # it\'s'   # a comment
QUOTED="one\n\"two\"\t\$three \\"
SEVERAL="first
second"
COMMENT = value#1 # a comment
REFERENCE=${WORDS}, again
  export EXPORTED=yes
EMPTY=
KOREAN=가나다
"""
