"""The constructs that a source table may have, and the page that says what each gives on every pair.

`docs/fidelity.md` is written by `python -m tests.fidelity` and compared by
`tests/integration/test_fidelity_page.py`; read the difference before committing it.
"""
