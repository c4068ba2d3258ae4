package foreign

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// bcryptRest is how many characters follow bcrypt's cost: 22 of the salt and 31 of the sum.
const bcryptRest = 53

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Parse reads a hash as systems write it into one text: bcrypt's own form, PHC strings, and the
// forms of passlib, Django and Werkzeug.
func Parse(text string) (Hash, error) {
	text = strings.TrimSpace(text)
	switch {
	case strings.HasPrefix(text, "bcrypt$$2"), strings.HasPrefix(text, "argon2$argon2"): // Django's
		_, text, _ = strings.Cut(text, "$")
		if strings.HasPrefix(text, "argon2") {
			text = "$" + text
		}
	case strings.HasPrefix(text, "pbkdf2_"): // Django's
		return parseDjango(text)
	case strings.HasPrefix(text, "pbkdf2:"), strings.HasPrefix(text, "scrypt:"):
		return parseWerkzeug(text)
	}
	part := strings.Split(text, "$")
	switch {
	case len(part) < 4 || part[0] != "":
	case strings.HasPrefix(part[1], "2"):
		return parseBcrypt(text, part)
	case part[1] == string(Scrypt) && len(part) == 5:
		p := parameters(part[2])
		return decoded(Cost{Scrypt, p["ln"], p["r"], p["p"]}, part[3], part[4])
	case strings.HasPrefix(part[1], "argon2") && len(part) == 6 && part[2] == "v=19":
		p := parameters(part[3])
		return decoded(Cost{Scheme(part[1]), p["t"], p["m"], p["p"]}, part[4], part[5])
	case strings.HasPrefix(part[1], "pbkdf2") && len(part) == 5:
		scheme := part[1]
		if scheme == "pbkdf2" || scheme == "pbkdf2-sha-1" { // passlib's and others' for SHA-1
			scheme = string(PBKDF2SHA1)
		}
		p := parameters(part[2])
		if !strings.Contains(part[2], "=") { // passlib's
			p["i"] = number(part[2])
		}
		return decoded(Cost{Scheme: Scheme(scheme), Work: p["i"]}, part[3], part[4])
	}
	return Hash{}, ErrUnknown
}

// parseBcrypt reads $2b$12$ and 53 characters. Of the letters, x names a fault of one old library.
func parseBcrypt(text string, part []string) (Hash, error) {
	cost := Cost{Scheme: Bcrypt, Work: number(part[2])}
	if len(part) != 4 || len(part[2]) != 2 || len(part[3]) != bcryptRest || strings.Trim(part[3], bcryptAlphabet) != "" ||
		part[1] != "2a" && part[1] != "2b" && part[1] != "2y" {
		return Hash{}, ErrUnknown
	}
	if err := cost.check(); err != nil {
		return Hash{}, err
	}
	return Hash{cost: cost, text: text}, nil
}

// parseDjango reads pbkdf2_sha256$ITERATIONS$SALT$SUM, whose salt is a text.
func parseDjango(text string) (Hash, error) {
	part := strings.Split(text, "$")
	if len(part) != 4 {
		return Hash{}, ErrUnknown
	}
	sum, err := Bytes(part[3])
	if err != nil {
		return Hash{}, ErrUnknown
	}
	return New(Cost{Scheme: Scheme(strings.ReplaceAll(part[0], "_", "-")), Work: number(part[1])}, []byte(part[2]), sum)
}

// parseWerkzeug reads pbkdf2:sha256:ITERATIONS$SALT$SUM and scrypt:N:R:P$SALT$SUM, whose salt is a
// text and whose sum is in hexadecimal.
func parseWerkzeug(text string) (Hash, error) {
	part := strings.Split(text, "$")
	if len(part) != 3 {
		return Hash{}, ErrUnknown
	}
	sum, err := hex.DecodeString(part[2])
	method := strings.Split(part[0], ":")
	switch {
	case err != nil:
	case method[0] == "pbkdf2" && len(method) == 3:
		return New(Cost{Scheme: Scheme("pbkdf2-" + method[1]), Work: number(method[2])}, []byte(part[1]), sum)
	case method[0] == "scrypt" && len(method) == 4:
		work, ok := LogN(uint64(number(method[1])))
		if ok {
			return New(Cost{Scrypt, work, number(method[2]), number(method[3])}, []byte(part[1]), sum)
		}
	}
	return Hash{}, ErrUnknown
}

// decoded is New for salt and sum in Base64.
func decoded(c Cost, salt, sum string) (Hash, error) {
	s, err := Bytes(salt)
	if err != nil {
		return Hash{}, ErrUnknown
	}
	b, err := Bytes(sum)
	if err != nil {
		return Hash{}, ErrUnknown
	}
	return New(c, s, b)
}

// Bytes decodes Base64 of any alphabet, with padding or without: PHC strings have none, passlib
// writes a full stop for a plus.
func Bytes(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "+", "_", "/", ".", "+").Replace(strings.TrimRight(text, "="))
	return base64.RawStdEncoding.DecodeString(text)
}

// parameters reads m=65536,t=3,p=4. What is no number of 32 bits is zero, which no hash has.
func parameters(text string) map[string]uint32 {
	all := map[string]uint32{}
	for one := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(one, "=")
		all[name] = number(value)
	}
	return all
}

func number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
