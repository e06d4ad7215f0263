"""Real programs that the tests act against: started on loopback, stopped at the end."""
