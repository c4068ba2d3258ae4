// Sends the form that carries a message to an identity provider. Without script the
// person presses its button.
document.getElementById("out").submit();
