"""Once per meeting: what a store is, the three stores, and the decision that both adapters share."""
