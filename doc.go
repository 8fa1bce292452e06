// Package lanyard holds no code: the rooms are the folders beside it, and docs/ARCHITECTURE.md says what each decides.
package lanyard
