"""What flows between this node and its peers: blocks, transactions, catching up."""
