"""The Rejoinder server: takes requests, hands them to workers, records what they report, tells who watches."""
