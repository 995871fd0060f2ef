from steps import after, check


@after(file="app.py")
def the_first_example_works(page):
    check("app:app", failures=False)
