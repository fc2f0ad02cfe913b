"""The BHLS floor: who is a citizen, what each is entitled to, and how it is paid out of F_FLOOR."""
