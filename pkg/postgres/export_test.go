package postgres

// LimitRolesIn is limitRoles for tests, which roll it back: roles belong to the server that all tests share.
var LimitRolesIn = limitRoles
