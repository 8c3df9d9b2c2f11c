create database @database@
