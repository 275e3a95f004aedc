"""The two seams, `Table` and `ObjectStore`, and their drivers on AWS and on one machine."""
