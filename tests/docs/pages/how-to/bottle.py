from steps import after, check


@after(file="app.py")
def genuine_deliveries_are_processed_and_forgeries_refused(page):
    check("app:app")
