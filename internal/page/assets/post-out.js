// Sends the form that carries a message to an identity provider, or an answer to an
// application. Without script the person presses its button.
document.getElementById("out").submit();
