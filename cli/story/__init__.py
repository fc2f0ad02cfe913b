"""The economy's story: users, validators and citizens on a real devnet, with a book that explains every unit."""
