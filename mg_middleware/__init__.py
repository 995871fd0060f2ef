"""Protects the receivers of MeetGeek webhooks. PYTEST_DONT_REWRITE"""
