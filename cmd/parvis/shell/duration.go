package shell

import (
	"fmt"
	"reflect"
	"time"

	"github.com/alecthomas/kong"
)

// Duration reads a flag that is a duration.
func Duration(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	lasts, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration: write it with its unit, such as 24h or 30m", text)
	}
	target.SetInt(int64(lasts))
	return nil
}
