"""Programs that the tests of the event-loop thread run in processes of their own."""
