"""What `resume` is made of: sessions through a link that is cut, and how soon they are back."""
