// Package test renders the chart as Helm does, for values of all kinds, and holds the connector's objects to those that
// `lanyard join` applies. It is a module of its own: Helm's libraries are many, and the product needs none of them.
package test
