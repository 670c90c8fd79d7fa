package bridge

import (
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Defaults is the configuration that nobody has changed, from the struct tags.
func Defaults() Config {
	var c Config
	setDefaults(reflect.ValueOf(&c).Elem())
	return c
}

func setDefaults(v reflect.Value) {
	for i := range v.NumField() {
		tag, ok := v.Type().Field(i).Tag.Lookup("default")
		if !ok {
			if v.Field(i).Kind() == reflect.Struct {
				setDefaults(v.Field(i))
			}
			continue
		}
		if err := setField(v.Field(i), tag); err != nil {
			panic(fmt.Sprintf("default of %s: %v", v.Type().Field(i).Name, err)) // a constant of this package is wrong
		}
	}
}

func setField(f reflect.Value, text string) error {
	if f.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		f.SetInt(int64(d))
		return err
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(text)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		f.SetInt(n)
		return err
	default:
		return fmt.Errorf("a %s has no default", f.Kind())
	}
	return nil
}
