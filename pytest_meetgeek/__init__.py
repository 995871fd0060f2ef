"""The fake MeetGeek, and the pytest plugin that tests the receivers of its webhooks."""
