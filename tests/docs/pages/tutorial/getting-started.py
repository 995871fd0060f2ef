from steps import after, before


@before(". .venv/bin/activate\n$ export")
def open_a_second_terminal(page):
    page.open_terminal()


@after("refused POST")
def each_meeting_was_processed_once(page):
    page.check_log(page.shown)
    assert page.log.read_text().count("analyzed: ") == 2
