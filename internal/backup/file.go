package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
)

// KeysSuffix is added to the name of a backup for the part with the keys.
const KeysSuffix = ".keys"

// ageMagic is how a file begins that age encrypted.
const ageMagic = "age-encryption.org/"

// A Lock says for whom files are encrypted, or with what they are opened. The zero Lock leaves them
// readable, and opens what is.
type Lock struct {
	recipients []age.Recipient
	identities []age.Identity
	passphrase bool
}

// Encrypts reports whether files are encrypted.
func (l Lock) Encrypts() bool { return len(l.recipients) > 0 }

// Recipients adds those of a text: a recipient of age, or the name of a file that lists some.
func (l *Lock) Recipients(text string) error {
	if strings.HasPrefix(text, identityPrefix) { // which nothing prints
		return errors.New("this is the secret that opens backups: name the public key that belongs to it, which begins with age1")
	}
	if strings.HasPrefix(text, "age1") {
		r, err := age.ParseRecipients(strings.NewReader(text))
		l.recipients = append(l.recipients, r...)
		if err != nil {
			err = fmt.Errorf("%s is no recipient of age: copy the whole of what age-keygen calls the public key", text)
		}
		return err
	}
	file, err := os.Open(text)
	if err != nil {
		return fmt.Errorf("%w (a recipient begins with age1)", err)
	}
	defer file.Close() //nolint:errcheck // It was only read.
	r, err := age.ParseRecipients(file)
	l.recipients = append(l.recipients, r...)
	return notAge(err, text, "it does not list recipients of age, each on a line of its own that begins with age1")
}

// notAge says what is wrong with a file that age could not read, unless the disk could not.
func notAge(err error, path, what string) error {
	if ofDisk, ok := errors.AsType[*fs.PathError](err); ok {
		return ofDisk
	}
	if err != nil {
		err = fmt.Errorf("%s: %s", path, what)
	}
	return err
}

// identityPrefix is how the secret begins that opens what was encrypted for its recipient.
const identityPrefix = "AGE-SECRET-KEY-"

// Identities adds those that a file of age-keygen holds.
func (l *Lock) Identities(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // It was only read.
	all, err := age.ParseIdentities(file)
	l.identities = append(l.identities, all...)
	return notAge(err, path, "it is no file of age-keygen, which has a line that begins with "+identityPrefix)
}

// work is the logarithm of what a guess at a passphrase costs: 64 MB, a tenth of a second.
const work = 16

// shortest is how short a passphrase may be. The file can be guessed at for ever, wherever a copy is.
const shortest = 20

// ErrShort is returned for a passphrase that could be guessed.
var ErrShort = fmt.Errorf("the passphrase is the first line of its file, and has %d characters at least", shortest)

// Passphrase adds the one that is the first line of a file.
func (l *Lock) Passphrase(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSpace(line); len([]rune(line)) < shortest {
		return fmt.Errorf("%s: %w", path, ErrShort)
	}
	to, err := age.NewScryptRecipient(line)
	if err != nil {
		return err
	}
	to.SetWorkFactor(work)
	by, err := age.NewScryptIdentity(line)
	if err != nil {
		return err
	}
	// The file says what opening it costs, before anything shows who wrote it: 256 MB at most.
	by.SetMaxWorkFactor(18)
	l.recipients, l.identities, l.passphrase = append(l.recipients, to), append(l.identities, by), true
	return nil
}

// Create writes a new file, for its owner only. Half a file never has its name, and never that of
// another process that writes the same one: of two, the slower is refused.
func Create(path string, l Lock, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	file, err := newPart(path)
	if err != nil {
		return err
	}
	part := file.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part))
		}
		err = errors.Join(err, file.Close()) // last, because it is held until then
	}()
	buffered := bufio.NewWriterSize(file, 256<<10)
	err = l.sealed(buffered, write)
	if err = errors.Join(err, buffered.Flush(), file.Sync()); err != nil {
		return err
	}
	if err := Settle(part, path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// partSuffix ends the names of files that are not whole yet, and no names that others give.
const partSuffix = ".parvis-part"

// newPart makes the file that is written until it is whole, and holds it, so that Tidy leaves it.
func newPart(path string) (*os.File, error) {
	for {
		file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+partSuffix)
		if err != nil { // without the name that nobody chose
			if told, ok := errors.AsType[*fs.PathError](err); ok {
				told.Path = filepath.Dir(path)
			}
			return nil, err
		}
		held, err := hold(file)
		if err != nil {
			return file, nil //nolint:nilerr // Better a backup that another one might tidy away than none.
		}
		// Tidy may have taken it between its making and its holding, or hold it at this moment.
		if there, err := os.Lstat(file.Name()); held && err == nil {
			if own, err := file.Stat(); err == nil && os.SameFile(there, own) {
				return file, nil
			}
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
}

// Tidy removes what backups left in the folder of path that were killed, and names it. Of each only half
// a file is there, and of those that make their names themselves the whole keys too. What another process
// writes at the moment is held by it, and stays.
func Tidy(path string) (removed []string, err error) {
	folder := filepath.Dir(path)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // Create says so
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		of, isPart := partOf(e.Name())
		if !isPart || !e.Type().IsRegular() || of != filepath.Base(path) && !strings.HasSuffix(strings.TrimSuffix(of, KeysSuffix), nameSuffix) {
			continue
		}
		gone := filepath.Join(folder, e.Name())
		taken, err := take(gone)
		if err != nil {
			return removed, err
		}
		if !taken {
			continue
		}
		removed = append(removed, gone)
		if keys := filepath.Join(folder, of+KeysSuffix); ownName(of) && absent(filepath.Join(folder, of)) && !absent(keys) {
			if err := os.Remove(keys); err != nil {
				return removed, err
			}
			removed = append(removed, keys)
		}
	}
	return removed, nil
}

// partOf returns what a half file would have become.
func partOf(name string) (of string, isPart bool) {
	name, isPart = strings.CutSuffix(name, partSuffix)
	dot := strings.LastIndexByte(name, '.')
	if !isPart || dot <= 0 || dot == len(name)-1 || strings.Trim(name[dot+1:], "0123456789") != "" {
		return "", false
	}
	return name[:dot], true
}

// take removes a half file unless another process holds it.
func take(path string) (bool, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0) // to write, or NFS lets nobody hold it
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // Nothing was written.
	held, err := hold(file)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil // Nothing says that nobody writes it.
	}
	if err != nil || !held {
		return false, err
	}
	return true, os.Remove(path)
}

func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Settle gives a file its final name, unless another has it meanwhile. Where the disk knows
// no second names for a file, nothing tells.
func Settle(part, path string) error {
	err := os.Link(part, path)
	if err == nil {
		return os.Remove(part)
	}
	if errors.Is(err, fs.ErrExist) {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return os.Rename(part, path)
}

// sealed encrypts what is written, where there is a recipient.
func (l Lock) sealed(to io.Writer, write func(io.Writer) error) error {
	if !l.Encrypts() {
		return write(to)
	}
	out, err := age.Encrypt(to, l.recipients...)
	if err != nil {
		return fmt.Errorf("encrypting: %w", err)
	}
	if err := write(out); err != nil {
		return err
	}
	return out.Close()
}

// What keeps a file from being opened.
var (
	ErrLocked   = errors.New("it is encrypted: name what opens it, with --identity or --passphrase-file")
	ErrNotYours = errors.New("it is encrypted, and not for this identity or with this passphrase; or it was damaged")
)

// Open opens a file, decrypted where it is encrypted.
func (l Lock) Open(path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(file, 256<<10)
	begins, _ := in.Peek(len(ageMagic)) // a shorter file is none, as open will say
	if string(begins) != ageMagic {
		return opened{in, file}, nil
	}
	if len(l.identities) == 0 {
		return nil, errors.Join(ErrLocked, file.Close())
	}
	plain, err := age.Decrypt(in, l.identities...)
	if err == nil {
		return opened{authentic{plain}, file}, nil
	}
	no := &age.NoIdentityMatchError{}
	if errors.As(err, &no) {
		return nil, errors.Join(ErrNotYours, file.Close())
	}
	return nil, errors.Join(ErrDamaged, file.Close())
}

// opened reads a file through a layer.
type opened struct {
	io.Reader
	file *os.File
}

func (o opened) Close() error { return o.file.Close() }

// authentic calls damaged what age refuses. What the disk refuses is another matter.
type authentic struct{ io.Reader }

func (a authentic) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if path, ofDisk := errors.AsType[*fs.PathError](err); err != nil && !ofDisk && !errors.Is(err, io.EOF) && path == nil {
		err = ErrDamaged
	}
	return n, err
}

// The names of backups that are made by themselves.
const (
	namePrefix = "parvis-"
	nameSuffix = ".backup"
	nameTime   = "20060102T150405Z"
)

// Name returns the name of a backup that is made by itself at a time.
func Name(at time.Time) string { return namePrefix + at.UTC().Format(nameTime) + nameSuffix }

// madeAt returns the time in the name of a backup that is made by itself; false for any other name.
func madeAt(name string) (at time.Time, own bool) {
	at, err := time.Parse(nameTime, strings.TrimSuffix(strings.TrimPrefix(name, namePrefix), nameSuffix))
	return at, err == nil && Name(at) == name
}

func ownName(name string) bool { _, own := madeAt(name); return own }

// Kept lists the backups in a folder that were made by themselves until now, the oldest first, and says
// when the newest was made. One of the future was made while the clock was wrong: it is neither late nor
// early, and stays until its time has come.
func Kept(folder string, now time.Time) (names []string, newest time.Time, err error) {
	entries, err := os.ReadDir(folder) // sorted by name, and so by time
	if err != nil {
		return nil, newest, err
	}
	for _, e := range entries {
		at, own := madeAt(e.Name())
		if !own || at.After(now) {
			continue
		}
		names, newest = append(names, e.Name()), at
	}
	return names, newest, nil
}

// Thin removes all but the newest backups of a folder, each with its keys, and names them.
func Thin(folder string, keep int, now time.Time) (removed []string, err error) {
	names, _, err := Kept(folder, now)
	if err != nil {
		return nil, err
	}
	for _, name := range names[:max(0, len(names)-keep)] {
		path := filepath.Join(folder, name)
		err = os.Remove(path + KeysSuffix)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(path)
		}
		if err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}
