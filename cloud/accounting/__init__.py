"""What tenants may spend and what they have spent: budgets before a call, the bill after it."""
