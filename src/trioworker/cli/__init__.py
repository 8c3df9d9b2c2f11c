"""The commands: argv and environment become settings; exit statuses stand in one table."""
