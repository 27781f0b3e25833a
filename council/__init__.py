"""The council: deliberation and governance. Empty until its own issue; nothing imports it yet."""
