"""What a user chooses: the Study's fields, its flags, and errors that a user can act on."""
