"""What a conversation with Gemini is: Contents, turn order, answers. Pure."""
